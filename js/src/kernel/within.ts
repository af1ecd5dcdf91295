/** What a promise resolves to; undefined if it is rejected or takes longer. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<undefined>(resolve => {
    timer = setTimeout(resolve, milliseconds, undefined);
  });
  try {
    return await Promise.race([promise, patience]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
