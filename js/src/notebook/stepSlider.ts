import type { IScale } from './move';

/** The slider of a dashboard's time travel as it stands in the page: a noUiSlider, and beside it its number, which can be edited. */
export class StepSlider {
  constructor(options: StepSlider.IOptions) {
    this.handle = options.handle;
    this.number = options.number;
    this._track = options.track;
  }

  /** The slider that an element is part of, if any. */
  static around(element: Element): StepSlider | null {
    const slider = element.closest('.nni-time-travel .widget-slider');
    const handle = slider?.querySelector<HTMLElement>('[role=slider]');
    const track = slider?.querySelector('.noUi-base');
    const number = slider?.querySelector<HTMLElement>('.widget-readout');
    return handle && track && number ? new StepSlider({ handle, track, number }) : null;
  }

  readonly handle: HTMLElement;
  readonly number: HTMLElement;

  get scale(): IScale {
    return { first: this._value('min'), last: this._value('max'), now: this._value('now') };
  }

  /** How far along the track a place in the page is: 0 at its begin, 1 at its end. */
  shareAt(x: number): number {
    const { left, width } = this._track.getBoundingClientRect();
    return (x - left) / width;
  }

  /** How far right of the middle of its handle it is taken hold of; 0 beside the handle. */
  gripAt(x: number, target: Element): number {
    const { left, width } = this.handle.getBoundingClientRect();
    return this.handle.contains(target) ? x - left - width / 2 : 0;
  }

  private _value(name: string): number {
    return Math.round(Number(this.handle.getAttribute(`aria-value${name}`)));
  }

  private readonly _track: Element;
}

export declare namespace StepSlider {
  interface IOptions {
    readonly handle: HTMLElement;
    readonly track: Element;
    readonly number: HTMLElement;
  }
}
