import { expect, it } from 'vitest';

import schema from '../schema/plugin.json';
import { CommandIDs } from '../src/commandIds';
import { Settings } from '../src/settings';

it('are what the schema says where there is no settings registry', () => {
  const settings = new Settings(null);
  const { refreshSeconds, openPanelOnFinding } = schema.properties;
  expect(settings.refreshSeconds).toBe(refreshSeconds.default);
  expect(settings.openPanelOnFinding).toBe(openPanelOnFinding.default);
  expect(Object.keys(schema.properties)).toEqual(['refreshSeconds', 'openPanelOnFinding']);
});

it('put a command that exists into the toolbar', () => {
  const commands: string[] = Object.values(CommandIDs);
  expect(schema['jupyter.lab.toolbars'].Notebook.map(item => commands.includes(item.command))).toEqual([true]);
});
