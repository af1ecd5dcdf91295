/** What the panel's buttons do. */
export interface IPanelActions {
  /** Load nn_inspector in the kernel. */
  load(): void;

  /** Insert a cell that watches the training. */
  watch(): void;

  /** Insert a cell that opens the wizard, and run it. */
  openWizard(): void;

  /** Stop, pause, resume or step the training. */
  steer(request: 'stop' | 'pause' | 'resume' | 'step'): void;

  /** Ask for another learning rate. */
  setLearningRate(): void;

  /** Insert a cell that makes a check. */
  insertCheck(name: string): void;

  /** Insert a code cell. */
  insertCell(source: string): void;
}
