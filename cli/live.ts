// A view that a terminal shows anew each second, and that a pipe gets once.
import type { World } from './command.ts';

const everyMs = 1_000;
/** Cursor home and the rest of the screen cleared: nothing flickers, and what was above stays in the history. */
const home = '\u001b[H\u001b[J';
const firstScreen = '\u001b[2J';

/**
 * @param once whether a terminal gets it once too
 * @param view makes the text; what it throws ends the view
 */
export async function showLive(world: World, once: boolean, view: () => Promise<string>): Promise<void> {
  if (once) return world.say(await view());
  world.say(firstScreen);
  for (;;) {
    const text = await view();
    world.say(`${home}${text}\n\nEach second anew; Ctrl-C ends it.`);
    await world.pause(everyMs);
  }
}
