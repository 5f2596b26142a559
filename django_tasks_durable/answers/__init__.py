"""Where people and programs answer runs by a link: a page that acts only when it is posted, and a webhook."""
