// What an administrator does with a button: asked of the gateway, and its answer told in words.
import { byId, say } from './dom.js';
import { ask } from './server.js';

/** How long an answer is shown. */
const shownMs = 8_000;
let timer = 0;

/** Shows a sentence at the edge of the page, which is read out too. @param {string} text */
function tell(text) {
  const node = byId('told');
  say(node, text);
  clearTimeout(timer);
  timer = setTimeout(() => say(node, ''), shownMs);
}

/**
 * @param {HTMLButtonElement} button rests until the answer is there
 * @param {string} path
 * @param {object} body
 * @param {(answer: any) => string} sentence what was done
 * @returns {Promise<boolean>} whether it was
 */
export async function act(button, path, body, sentence) {
  button.disabled = true;
  try {
    const reply = await ask('POST', path, body);
    tell(sentence(await reply.json()));
    return true;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    return false;
  } finally {
    button.disabled = false;
  }
}
