/** Makes two types that are the same at run time different to the compiler, so that they cannot be swapped by mistake. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
