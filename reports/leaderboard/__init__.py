"""What do the submissions of many people say together? A folder of them becomes boards, and boards a site of static pages."""
