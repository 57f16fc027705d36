// Requests to our own server.

// Harmless: the server did nothing and the page is still right.
export class Refusal extends Error {
  constructor(sentence, { readOnly = false, harmless = false } = {}) {
    super(sentence);
    Object.assign(this, { readOnly, harmless });
  }
}

async function checked(response) {
  if (response.ok) return response;
  let answer = {};
  try {
    answer = await response.json();
  } catch {
    answer = { error: response.status === 403 ? "This link is no longer valid; open the newest one that the terminal shows." : `The server answered ${response.status}.` };
  }
  const readOnly = Boolean(answer.read_only);
  throw new Refusal(answer.error, { readOnly, harmless: !readOnly && [409, 422].includes(response.status) });
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal("The server doesn't answer. What was saved is kept: start gynbtnet review again.");
  }
  return checked(response);
}

export async function get(path) {
  return (await asked(path)).json();
}

export async function getBytes(path) {
  const response = await asked(path);
  const box = response.headers.get("X-Box");
  return { bytes: new Uint8Array(await response.arrayBuffer()), box: box ? box.split(",").map(Number) : null };
}

export async function post(path, body) {
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return (await asked(path, options)).json();
}
