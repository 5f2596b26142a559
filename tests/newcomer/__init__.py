"""What somebody meets who has just installed the library and read nothing but the README."""
