import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSONObject } from '@lumino/coreutils';

/** The kernel that a new notebook asks for. */
export interface IKernelChoice {
  readonly name: string;
  readonly displayName: string;
}

/** A notebook to debug a network in, in the notebook format 4.5. Its cells run as they are. */
export function debugNotebook(kernel: IKernelChoice, trans: Pick<TranslationBundle, '__'>): JSONObject {
  return {
    nbformat: 4,
    nbformat_minor: 5,
    metadata: { kernelspec: { name: kernel.name, display_name: kernel.displayName, language: 'python' } },
    cells: cells(trans)
  };
}

function cells(trans: Pick<TranslationBundle, '__'>): JSONObject[] {
  return [
    markdown(
      'introduction',
      `# ${trans.__('Debug a network')}`,
      '',
      trans.__('Put your network and your training loop into the cells below and run them from top to bottom.'),
      trans.__(
        'The side panel *Network inspector* shows what was found. The wizard goes through the checklist with you.'
      )
    ),
    code('load', '%load_ext nn_inspector', 'import nn_inspector as nni'),
    code(
      'network',
      'import torch',
      'from torch import nn',
      'from torch.utils.data import DataLoader, TensorDataset',
      '',
      `# ${trans.__('Your network, optimizer and loss. Those below are only an example.')}`,
      'model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 3))',
      'optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)',
      'loss_fn = nn.CrossEntropyLoss()',
      '',
      `# ${trans.__('Your data.')}`,
      'inputs = torch.randn(1024, 20)',
      'labels = inputs[:, :3].argmax(dim=1)',
      'train_data, val_data = TensorDataset(inputs[:768], labels[:768]), TensorDataset(inputs[768:], labels[768:])',
      'train_loader = DataLoader(train_data, batch_size=32, shuffle=True)',
      'val_loader = DataLoader(val_data, batch_size=32)'
    ),
    code('watch', 'inspector = nni.watch(model, optimizer, loss_fn, train_loader=train_loader, val_loader=val_loader)'),
    code(
      'train',
      `# ${trans.__('Your training loop. It stays as it is.')}`,
      'for epoch in range(5):',
      '    model.train()',
      '    for x, y in train_loader:',
      '        optimizer.zero_grad()',
      '        loss = loss_fn(model(x), y)',
      '        loss.backward()',
      '        optimizer.step()',
      '    model.eval()',
      '    with torch.no_grad():',
      '        for x, y in val_loader:',
      '            loss_fn(model(x), y)'
    ),
    code('diagnose', 'inspector.diagnose()'),
    code('wizard', 'nni.wizard()')
  ];
}

function markdown(id: string, ...lines: string[]): JSONObject {
  return { cell_type: 'markdown', id, metadata: {}, source: lines.join('\n') };
}

function code(id: string, ...lines: string[]): JSONObject {
  return { cell_type: 'code', id, metadata: {}, source: lines.join('\n'), outputs: [], execution_count: null };
}
