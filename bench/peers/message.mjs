// What is sent to a peer and comes back: an object of about 100 bytes as JSON.

export const message = { by: 1, memo: "x".repeat(80) };
