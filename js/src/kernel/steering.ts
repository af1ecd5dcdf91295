import type { IReply, ISteering } from '../protocol/messages';
import { CONTROL_TARGET, PROTOCOL } from '../protocol/messages';
import type { IKernelPort } from './port';

/** Milliseconds in which the fallback has to be taken. */
const POST_PATIENCE = 2000;

/**
 * What became of a wish about the training.
 *
 * - answered: the kernel says what it does
 * - noted: the kernel took it, by the way on which it cannot answer
 * - unanswered: the kernel does not react
 */
export type SteeringOutcome =
  | { readonly kind: 'answered'; readonly message: string }
  | { readonly kind: 'noted' }
  | { readonly kind: 'unanswered' };

/** Ask something of a training: on the control channel, or else by a comm opened for that. */
export async function steerTraining(
  port: IKernelPort,
  wish: ISteering,
  request: () => Promise<IReply | null>
): Promise<SteeringOutcome> {
  const reply = await request();
  if (reply !== null) {
    return { kind: 'answered', message: reply.message };
  }
  const isNoted = await port.post(CONTROL_TARGET, { version: PROTOCOL, ...wish }, POST_PATIENCE);
  return { kind: isNoted ? 'noted' : 'unanswered' };
}
