import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, InputDialog } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import { fastForwardIcon, runIcon, stopIcon } from '@jupyterlab/ui-components';

import { CommandIDs } from '../commandIds';
import { INotebookLinks } from '../notebook/tokens';
import type { ISteering } from '../protocol/messages';
import { followEnabled } from './enabled';
import { addToPalette } from './palette';
import { steerAndTell } from './steerAndTell';

/** The commands that stop, pause, resume and step a training, and change its learning rate. */
export const steering: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:steering',
  description: 'The commands that steer the training of the current notebook.',
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator, ICommandPalette],
  activate: (
    { commands }: JupyterFrontEnd,
    links: INotebookLinks,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const isEnabled = (): boolean => links.current !== null;
    const steer = (wish: ISteering): Promise<void> => steerAndTell(links.current?.link ?? null, wish, trans);
    const add = (id: string, label: string, caption: string, execute: () => unknown, icon?: LabIcon): void => {
      commands.addCommand(id, { label, caption, icon, isEnabled, execute });
      addToPalette(palette, trans, id);
      followEnabled(commands, links, isEnabled, id);
    };

    add(
      CommandIDs.stopTraining,
      trans.__('Stop Training'),
      trans.__('Stop the training of this notebook after its present step'),
      () => steer({ request: 'stop' }),
      stopIcon
    );
    add(
      CommandIDs.pauseTraining,
      trans.__('Pause Training'),
      trans.__('Let the training of this notebook wait after its present step'),
      () => steer({ request: 'pause' })
    );
    add(
      CommandIDs.resumeTraining,
      trans.__('Resume Training'),
      trans.__('Let the paused training of this notebook go on'),
      () => steer({ request: 'resume' }),
      runIcon
    );
    add(
      CommandIDs.stepTraining,
      trans.__('Make One Training Step'),
      trans.__('Let the paused training of this notebook make one step'),
      () => steer({ request: 'step' }),
      fastForwardIcon
    );
    add(
      CommandIDs.setLearningRate,
      trans.__('Set Learning Rate…'),
      trans.__('Give the running training of this notebook another learning rate'),
      async () => {
        const training = links.current?.link?.snapshot?.training;
        const present = training !== undefined && training.state !== 'none' ? training.learningRate : null;
        const { value } = await InputDialog.getText({
          title: trans.__('Learning rate from the next step on'),
          text: present === null ? '' : present.toString(),
          okLabel: trans.__('Set')
        });
        if (value !== null && value.trim() !== '') {
          await steer({ request: 'set_learning_rate', value: Number(value) });
        }
      }
    );
  }
};
