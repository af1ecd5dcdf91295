import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { busyLink } from '../notebook/busyLink';
import { KeptText } from '../notebook/keptText';
import { lookOfMove } from '../notebook/lookAt';
import type { Move } from '../notebook/move';
import { joined, moveOfKey, moveOfText, moveToShare } from '../notebook/move';
import { Pace } from '../notebook/pace';
import { StepSlider } from '../notebook/stepSlider';
import { INotebookLinks } from '../notebook/tokens';

/** Milliseconds between two requests while the slider is dragged. */
const PACE = 200;

/** What is wanted of a slider. */
interface IWish {
  readonly slider: StepSlider;
  readonly move: Move;
}

/** A slider that the pointer holds. */
interface IHold {
  readonly slider: StepSlider;
  readonly pointer: number;
  /** How far right of the middle of its handle. */
  readonly grip: number;
}

/**
 * Makes the dashboard's slider over the steps work while a cell runs.
 *
 * What is done to it is kept from the widget, whose message would come after the cell, from a step that was left long ago. The
 * slider moves when the kernel moves it, so that it never stands at a step that the panels do not show.
 */
export const dashboardSlider: JupyterFrontEndPlugin<void> = {
  id: 'nn_inspector:dashboard-slider',
  description: "Makes the slider of the notebook's dashboard work while a cell runs.",
  autoStart: true,
  requires: [INotebookLinks],
  activate: (_: JupyterFrontEnd, links: INotebookLinks): void => {
    const pace = new Pace<IWish>({
      milliseconds: PACE,
      pass: ({ slider, move }) => {
        const look = lookOfMove(slider.handle, move);
        if (look !== null) {
          void busyLink(links, slider.handle)?.request(look);
        }
      },
      join: (waiting, next) => ({ ...next, move: joined(waiting.move, next.move) })
    });
    let hold: IHold | null = null;
    let kept: KeptText | null = null;

    /** Listen to what happens to the slider while its kernel is busy, before the slider itself does. */
    const onBusy = <Type extends keyof DocumentEventMap>(
      type: Type,
      listener: (slider: StepSlider, event: DocumentEventMap[Type], target: Element) => void
    ): void => {
      const onEvent = (event: DocumentEventMap[Type]): void => {
        const { target } = event;
        const slider = target instanceof Element ? StepSlider.around(target) : null;
        if (target instanceof Element && slider !== null && busyLink(links, target) !== null) {
          listener(slider, event, target);
        }
      };
      document.addEventListener(type, onEvent, { capture: true });
    };

    onBusy('pointerdown', (slider, event, target) => {
      if (event.button === 0 && event.isPrimary && target.closest('.noUi-target') !== null) {
        hold = { slider, pointer: event.pointerId, grip: slider.gripAt(event.clientX, target) };
        slider.handle.setPointerCapture(event.pointerId);
        if (!slider.handle.contains(target)) {
          pace.give({ slider, move: moveToShare(slider.shareAt(event.clientX), slider.scale) });
        }
      }
    });
    document.addEventListener('pointermove', ({ pointerId, clientX }) => {
      if (hold?.pointer === pointerId) {
        const { slider, grip } = hold;
        pace.give({ slider, move: moveToShare(slider.shareAt(clientX - grip), slider.scale) });
      }
    });
    for (const type of ['pointerup', 'pointercancel'] as const) {
      document.addEventListener(type, ({ pointerId }) => {
        if (hold?.pointer === pointerId) {
          hold = null;
          pace.flush();
        }
      });
    }
    for (const type of ['mousedown', 'touchstart'] as const) {
      onBusy(type, (slider, event, target) => {
        if (target.closest('.noUi-target') !== null) {
          event.stopPropagation();
          slider.handle.focus({ preventScroll: true });
          if (type === 'mousedown') {
            event.preventDefault(); // selects no text on the way
          }
        }
      });
    }
    onBusy('keydown', (slider, event, target) => {
      const move = target === slider.handle ? moveOfKey(event.key) : null;
      if (move !== null) {
        event.preventDefault();
        event.stopPropagation();
        pace.give({ slider, move });
      } else if (target === slider.number && event.key === 'Enter') {
        event.preventDefault();
        event.stopPropagation();
        slider.number.blur();
      }
    });
    for (const type of ['focus', 'input'] as const) {
      onBusy(type, (slider, _, target) => {
        if (target === slider.number) {
          if (kept?.element !== slider.number) {
            kept?.end(); // of a dashboard that is gone
            kept = new KeptText(slider.number);
          }
          if (type === 'input') {
            kept.note();
          }
        }
      });
    }
    onBusy('blur', (slider, event, target) => {
      if (target === slider.number) {
        event.stopPropagation();
        const move = moveOfText(kept?.end() ?? '', slider.scale);
        slider.number.innerText = String(slider.scale.now);
        if (move !== null) {
          pace.give({ slider, move });
        }
      }
    });
    document.addEventListener(
      'blur',
      () => {
        kept?.end(); // also if the cell has ended since it was begun
        kept = null;
      },
      { capture: true }
    );
  }
};
