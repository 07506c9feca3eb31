//! The health scripts for Argo CD, with a real Lua, on real objects.
