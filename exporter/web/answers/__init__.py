"""What the REST API answers: a module a subject, with the shapes and what fills them. What is not known is left out."""
