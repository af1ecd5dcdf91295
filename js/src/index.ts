import { cells } from './plugins/cells';
import { connections } from './plugins/connections';
import { dashboardButtons } from './plugins/dashboardButtons';
import { dashboardLook } from './plugins/dashboardLook';
import { dashboardSlider } from './plugins/dashboardSlider';
import { listKeys } from './plugins/listKeys';
import { newNotebook } from './plugins/newNotebook';
import { panel } from './plugins/panel';
import { pictureNames } from './plugins/pictureNames';
import { sliderNames } from './plugins/sliderNames';
import { steering } from './plugins/steering';

export default [
  connections,
  panel,
  cells,
  steering,
  dashboardButtons,
  dashboardLook,
  dashboardSlider,
  sliderNames,
  pictureNames,
  listKeys,
  newNotebook
];
