/** The tasks, in memory. */
export class Tasks {
  #tasks = new Map();
  #last = 0;

  add(title) {
    if (typeof title !== "string" || title.trim() === "") throw new TypeError("a task needs a title");
    const task = { id: ++this.#last, title: title.trim(), done: false };
    this.#tasks.set(task.id, task);
    return task;
  }

  /** Returns the task, or undefined if there is none of that id. */
  finish(id) {
    const task = this.#tasks.get(id);
    if (task !== undefined) task.done = true;
    return task;
  }

  list() {
    return [...this.#tasks.values()];
  }
}
