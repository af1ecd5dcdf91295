/** The commands of this extension. */
export const CommandIDs = {
  showPanel: 'nn-inspector:show-panel',
  openWizard: 'nn-inspector:open-wizard',
  watch: 'nn-inspector:watch',
  insertCheck: 'nn-inspector:insert-check',
  insertCell: 'nn-inspector:insert-cell',
  stopTraining: 'nn-inspector:stop-training',
  pauseTraining: 'nn-inspector:pause-training',
  resumeTraining: 'nn-inspector:resume-training',
  stepTraining: 'nn-inspector:step-training',
  setLearningRate: 'nn-inspector:set-learning-rate',
  newNotebook: 'nn-inspector:new-notebook'
} as const;
