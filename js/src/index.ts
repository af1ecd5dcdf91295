import { cells } from './plugins/cells';
import { connections } from './plugins/connections';
import { newNotebook } from './plugins/newNotebook';
import { panel } from './plugins/panel';
import { stop } from './plugins/stop';
import { stopButton } from './plugins/stopButton';

export default [connections, panel, cells, stop, stopButton, newNotebook];
