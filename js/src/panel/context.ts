import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IPanelActions } from './actions';
import type { PanelModel } from './model';

/** What all parts of the panel need. */
export interface IPanelContext {
  readonly model: PanelModel;
  readonly actions: IPanelActions;
  readonly trans: TranslationBundle;
}

const PanelContext = React.createContext<IPanelContext | null>(null);

export const PanelProvider = PanelContext.Provider;

/** The context of the panel that a part stands in. */
export function usePanel(): IPanelContext {
  const context = React.useContext(PanelContext);
  if (context === null) {
    throw new Error('A part of the panel stands outside of it.');
  }
  return context;
}
