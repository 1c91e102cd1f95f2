// Brings what is on the page to what is wanted, and leaves alone what is the same: the
// focus, a selection, a scrolled table and an opened part stay as they are.

const SVG = 'http://www.w3.org/2000/svg';
const DRAWN = new Set(['svg', 'path', 'line', 'title']);

/**
 * What is wanted: a tag, attributes and children. Children may be text, other nodes, an
 * element that is kept as it is (`{ element }`), lists, or nothing (null, false).
 * `key` tells siblings apart, `on…` are listeners, `style` is an object.
 */
export function h(tag, attributes, ...children) {
  return { tag, attributes: attributes ?? {}, children: flat(children) };
}

const nothing = (child) => child === null || child === undefined || child === false || child === '';

function flat(children) {
  return children.flat(Infinity).filter((child) => !nothing(child));
}

/** Has `parent` hold these children and no others. */
export function show(parent, ...wanted) {
  const children = flat(wanted);
  const left = [...parent.childNodes];
  const nodes = children.map((child) => {
    const place = left.findIndex((node) => standsFor(node, child));
    return place < 0 ? made(child) : left.splice(place, 1)[0];
  });
  // First, so that what stays need not be moved: a move would take the focus away.
  left.forEach((node) => node.remove());
  let next = parent.firstChild;
  nodes.forEach((node, index) => {
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    update(node, children[index]);
  });
}

function standsFor(node, child) {
  if (child.element) return node === child.element;
  if (!child.tag) return node.nodeType === Node.TEXT_NODE;
  return node.localName === child.tag && node.isWanted === true && node.key === child.attributes.key;
}

function made(child) {
  if (child.element) return child.element;
  if (!child.tag) return document.createTextNode('');
  const element = DRAWN.has(child.tag) ? document.createElementNS(SVG, child.tag) : document.createElement(child.tag);
  element.isWanted = true;
  element.key = child.attributes.key;
  element.known = {};
  return element;
}

function update(node, child) {
  if (child.element) return;
  if (!child.tag) {
    if (node.data !== String(child)) node.data = String(child);
    return;
  }
  const { known } = node;
  for (const name of Object.keys(known)) if (!(name in child.attributes)) set(node, name, null);
  for (const [name, value] of Object.entries(child.attributes)) {
    if (name !== 'key' && name !== 'style' && known[name] !== value) set(node, name, value);
  }
  for (const [name, value] of Object.entries(child.attributes.style ?? {})) node.style.setProperty(name, value);
  node.known = child.attributes;
  show(node, child.children);
}

function set(node, name, value) {
  if (name.startsWith('on')) node[name] = value;
  else if (value === null || value === undefined || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? '' : value);
}
