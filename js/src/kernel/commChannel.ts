import type { Kernel } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

import type { IChannel } from './port';

/** A comm of JupyterLab that the kernel has opened. */
export class CommChannel implements IChannel {
  constructor(comm: Kernel.IComm) {
    this._comm = comm;
    comm.onMsg = message => {
      this.onMessage(message.content.data);
    };
    comm.onClose = () => {
      this.onClose();
    };
  }

  onMessage: (data: unknown) => void = () => undefined;
  onClose: () => void = () => undefined;

  send(data: JSONObject): void {
    if (!this._comm.isDisposed) {
      this._comm.send(data);
    }
  }

  private readonly _comm: Kernel.IComm;
}
