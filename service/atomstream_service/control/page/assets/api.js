// REST, with problems told in the service's own words.

/** A request that was answered with a problem: `status`, `code`, the whole `body`, and a sentence as its message. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? problem.title ?? `the service answered ${status}`);
    this.status = status;
    this.code = problem.code ?? "";
    this.body = problem;
  }
}

export class Api {
  #token;

  constructor(token) {
    this.#token = token;
  }

  get(path) {
    return this.#ask("GET", path);
  }

  /** Send JSON, or a file's bytes. */
  send(method, path, body = undefined, { signal } = {}) {
    return this.#ask(method, path, body, signal);
  }

  async #ask(method, path, body, signal) {
    const headers = { "X-Atomstream-Actor": encodeURIComponent("operator's page") };
    if (this.#token) headers.Authorization = `Bearer ${this.#token}`;
    const isFile = body instanceof Blob;
    if (body !== undefined) headers["Content-Type"] = isFile ? "application/zip" : "application/json";
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : isFile ? body : JSON.stringify(body), signal });
    } catch (error) {
      throw new Refused(0, { detail: "the service does not answer", code: "unreachable" });
    }
    const text = await answer.text();
    let said = null;
    try {
      said = text ? JSON.parse(text) : null;
    } catch {
      said = { detail: text };
    }
    if (!answer.ok) throw new Refused(answer.status, said ?? {});
    return said;
  }
}
