// Nothing was started here: what a request is told that goes back to the gateway.
import type { NotStarted } from '@berth/shared/headers.ts';

/** Nothing was started, and another worker or a later moment may do: the gateway takes the request back. */
export class NotStartedHere extends Error {
  override readonly name = 'NotStartedHere';
  readonly why: NotStarted;

  constructor(why: NotStarted) {
    super(`not started: ${why}`);
    this.why = why;
  }
}
