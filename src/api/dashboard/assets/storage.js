/** `sessionStorage`. In frames of other sites, browsers can refuse it: values then last until the page is left. */

const memory = new Map();

/** The value of a key, or null. */
export function read(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return memory.get(key) ?? null;
  }
}

/** Stores a value. Returns whether it outlasts the page. */
export function write(key, value) {
  try {
    sessionStorage.setItem(key, value);
    return true;
  } catch {
    memory.set(key, value);
    return false;
  }
}

/** Removes a value. */
export function remove(key) {
  memory.delete(key);
  try {
    sessionStorage.removeItem(key);
  } catch {
    // There is nothing to remove.
  }
}
