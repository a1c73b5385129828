"""Wire formats: text and bytes to typed values and back."""
