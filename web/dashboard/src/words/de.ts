// German, by the English text.

export const words: Record<string, string> = {};
