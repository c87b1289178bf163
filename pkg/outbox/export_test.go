package outbox

// Lack is the statement that looks for what the stream lacks.
const Lack = lack
