// @ts-check

const PROPERTY = "data-dewpond-prop-";

/**
 * Reads the properties that an element's attributes hold: `data-dewpond-prop-colour="red"` is `colour: "red"`.
 *
 * @param {Iterable<{ name: string, value: string }>} attributes
 * @returns {Record<string, string>}
 */
export function markedProperties(attributes) {
  return Object.fromEntries(
    [...attributes]
      .filter(({ name }) => name.startsWith(PROPERTY))
      .map(({ name, value }) => [name.slice(PROPERTY.length), value]),
  );
}
