import { LabIcon } from '@jupyterlab/ui-components';

import svg from '../style/inspector.svg';

/** A network under a magnifying glass. */
export const inspectorIcon = new LabIcon({ name: 'nn-inspector:inspector', svgstr: svg });
