//! A real broker, scripted clients.
