import type { ISettingRegistry } from '@jupyterlab/settingregistry';

/** The plugin that the settings belong to: it has the name of the schema's file. */
export const SETTINGS_PLUGIN = 'nn_inspector:plugin';

/** The user's settings; what js/schema/plugin.json says where there are none. */
export class Settings {
  constructor(registry: ISettingRegistry | null) {
    registry?.load(SETTINGS_PLUGIN).then(
      settings => {
        this._settings = settings;
      },
      (error: unknown) => {
        console.warn('The settings of nn_inspector could not be loaded.', error);
      }
    );
  }

  /** How often a busy kernel is asked. */
  get refreshSeconds(): number {
    return (this._settings?.composite.refreshSeconds as number | undefined) ?? 2;
  }

  /** Whether the panel opens by itself. */
  get openPanelOnFinding(): boolean {
    return (this._settings?.composite.openPanelOnFinding as boolean | undefined) ?? false;
  }

  private _settings: ISettingRegistry.ISettings | null = null;
}
