// The keys that durable commands are spread over.

export const keys = 1000;
export const keyOf = (n) => `k${n % keys}`;
