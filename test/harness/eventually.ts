/** Asks again until there is an answer. @throws when there is none after `patience` milliseconds. */
export async function eventually<Answer>(
  ask: () => Promise<Answer | undefined>,
  patience = 20_000,
): Promise<Answer> {
  const deadline = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error("it did not happen in time");
    await Bun.sleep(20);
  }
}

/** Asks again until it is so. @throws when it is not after `patience` milliseconds. */
export async function until(holds: () => Promise<boolean>, patience?: number): Promise<void> {
  await eventually(async () => ((await holds()) ? true : undefined), patience);
}
