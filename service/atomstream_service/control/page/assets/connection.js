// The WebSocket, opened again whenever it breaks.

import { decodeFrame } from "./protocol.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5000;
const LOOK_MS = 10000;
const FPS = 30;
const UNSEEN_FPS = 0.5;

/**
 * Dispatches `link` {up}, `hello`, `state`, `refused` and `frame`, each with the message in `detail`; of frames that come between two pictures of the
 * browser, the last one only.
 */
export class Connection extends EventTarget {
  #token;
  #socket = null;
  #wanted = null;
  #pause = FIRST_PAUSE_MS;
  #newest = null;
  #looks = new Map();
  #count = 0;

  constructor(token) {
    super();
    this.#token = token;
    document.addEventListener("visibilitychange", () => this.#send(this.#wanted));
  }

  get isUp() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  open() {
    const url = new URL("/v1/live", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const protocols = this.#token ? ["atomstream.v1", `bearer.${this.#token}`] : ["atomstream.v1"];
    const socket = (this.#socket = new WebSocket(url, protocols));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#pause = FIRST_PAUSE_MS;
      this.#tell("link", { up: true });
      this.#send(this.#wanted);
    };
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#heard(JSON.parse(data)) : this.#seen(decodeFrame(data)));
    socket.onclose = () => {
      this.#tell("link", { up: false });
      setTimeout(() => this.open(), this.#pause);
      this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS);
    };
  }

  /** Follow the stream, or look at one frame of the ring: see `ViewMessage` of the service. */
  want(view, frame = null) {
    this.#wanted = { kind: "view", view, frame };
    this.#send(this.#wanted);
  }

  /** One frame now, as a promise; null where it can't be had. */
  look(view, frame = null) {
    const id = ++this.#count;
    return new Promise((resolve) => {
      this.#looks.set(id, resolve);
      setTimeout(() => this.#answerLook(id, null), LOOK_MS);
      this.#send({ kind: "look", id, view, frame });
    });
  }

  #send(message) {
    if (!message || !this.isUp) return;
    const rate = message.kind === "view" ? { fps: document.hidden ? UNSEEN_FPS : FPS } : {};
    this.#socket.send(JSON.stringify({ ...message, ...rate }));
  }

  #heard(message) {
    if (message.kind === "refused" && message.look !== null) return this.#answerLook(message.look, null);
    this.#tell(message.kind, message);
  }

  #seen(frame) {
    if (frame.look !== null) return this.#answerLook(frame.look, frame);
    if (!this.#newest) {
      requestAnimationFrame(() => {
        const newest = this.#newest;
        this.#newest = null;
        this.#tell("frame", newest);
      });
    }
    this.#newest = frame;
  }

  #answerLook(id, frame) {
    this.#looks.get(id)?.(frame);
    this.#looks.delete(id);
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
