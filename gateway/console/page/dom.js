// The little that the page needs of a framework: elements, text that changes only when it differs, lists with keys.

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | boolean | ((event: any) => void)>} [props] attributes; functions listen to the event of that name
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else set(node, name, value);
  }
  node.append(...children);
  return node;
}

/**
 * @param {string} tag
 * @param {Record<string, string>} [props]
 * @param {...Node} children
 */
export function svg(tag, props = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(props)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/**
 * An attribute; `false` takes it away.
 * @param {Element} node
 * @param {string} name
 * @param {string | boolean} value
 */
export function set(node, name, value) {
  const wanted = value === true ? '' : value;
  if (wanted === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

/**
 * @param {Node} node
 * @param {string} text
 */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * @param {HTMLElement} node
 * @param {number} share 0 to 1
 */
export function fill(node, share) {
  const percent = `${Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10}%`;
  if (node.style.getPropertyValue('--done') !== percent) node.style.setProperty('--done', percent);
}

/** @type {WeakMap<Element, Map<string, { node: HTMLElement, update: (item: any) => void }>>} */
const lists = new WeakMap();

/**
 * Makes the children of `parent` those of the items, in their order. What stays is the same node, so that the focus,
 * an open menu and a text that is being selected stay too.
 * @template T
 * @param {HTMLElement} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} keyOf
 * @param {(item: T) => { node: HTMLElement, update: (item: T) => void }} make
 */
export function list(parent, items, keyOf, make) {
  const known = lists.get(parent) ?? new Map();
  lists.set(parent, known);
  const wanted = new Set(items.map(keyOf));
  for (const [key, { node }] of known) {
    if (wanted.has(key)) continue;
    node.remove();
    known.delete(key);
  }
  items.forEach((item, at) => {
    const key = keyOf(item);
    const row = known.get(key) ?? make(item);
    known.set(key, row);
    row.update(item);
    if (parent.children[at] !== row.node) parent.insertBefore(row.node, parent.children[at] ?? null);
  });
}

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (node === null) throw new Error(`the page has no ${id}`);
  return node;
}

/** Tells a person who cannot see the page. @param {string} text */
export function announce(text) {
  say(byId('said'), text);
}
