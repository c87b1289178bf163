package natsd

// Others is how many members this one is connected to.
func (s *Server) Others() int { return s.ns.NumRemotes() }

// Inside reports whether the member has seen a majority of the cluster.
func (s *Server) Inside() bool { return s.inside.Load() }
