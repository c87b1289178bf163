package outbox

import "time"

// Lack is the statement that looks for what the stream lacks.
const Lack = lack

// Silence sets how long a relay waits on a cluster without an acknowledgement.
func Silence(d time.Duration) RelayOption { return func(c *relayConfig) { c.silence = d } }
