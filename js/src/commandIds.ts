/** The commands of this extension. */
export const CommandIDs = {
  showPanel: 'nn-inspector:show-panel',
  openWizard: 'nn-inspector:open-wizard',
  watch: 'nn-inspector:watch',
  insertCheck: 'nn-inspector:insert-check',
  insertCell: 'nn-inspector:insert-cell',
  stopTraining: 'nn-inspector:stop-training',
  newNotebook: 'nn-inspector:new-notebook'
} as const;
