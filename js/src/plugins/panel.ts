import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIDs } from '../commandIds';
import { inspectorIcon } from '../icon';
import { INotebookLinks } from '../notebook/tokens';
import type { IPanelActions } from '../panel/actions';
import { PanelModel } from '../panel/model';
import { InspectorPanel } from '../panel/widget';
import { Settings } from '../settings';
import { addToPalette } from './palette';

/** The side panel. */
export const panel: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:panel',
  description: 'The side panel "Network inspector".',
  autoStart: true,
  requires: [INotebookLinks],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    links: INotebookLinks,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    registry: ISettingRegistry | null
  ): void => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load('nn_inspector');
    const model = new PanelModel({ source: links });
    const widget = new InspectorPanel({ model, trans, actions: panelActions(app, links) });
    shell.add(widget, 'right', { rank: 700, type: 'Network inspector' });
    restorer?.add(widget, widget.id);

    commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Show Network Inspector'),
      caption: trans.__('Show what was found about the training of this notebook'),
      icon: inspectorIcon,
      execute: () => {
        shell.activateById(widget.id);
        widget.node.focus({ preventScroll: true });
      }
    });
    addToPalette(palette, trans, CommandIDs.showPanel);

    const settings = new Settings(registry);
    const seen = new WeakSet();
    model.changed.connect(() => {
      if (model.link !== null && model.raised.length > 0 && !seen.has(model.link)) {
        seen.add(model.link);
        if (settings.openPanelOnFinding) {
          shell.activateById(widget.id);
        }
      }
    });
  }
};

const STEERING = {
  stop: CommandIDs.stopTraining,
  pause: CommandIDs.pauseTraining,
  resume: CommandIDs.resumeTraining,
  step: CommandIDs.stepTraining
} as const;

function panelActions({ commands }: JupyterFrontEnd, links: INotebookLinks): IPanelActions {
  return {
    load: () => void links.current?.link?.loader.load(),
    watch: () => void commands.execute(CommandIDs.watch),
    openWizard: () => void commands.execute(CommandIDs.openWizard),
    steer: request => void commands.execute(STEERING[request]),
    setLearningRate: () => void commands.execute(CommandIDs.setLearningRate),
    insertCheck: check => void commands.execute(CommandIDs.insertCheck, { check }),
    insertCell: source => void commands.execute(CommandIDs.insertCell, { source })
  };
}
