"""Ask about a list of texts, and print the answers in its order."""

import penstock

reviews = [
    {"id": "phone", "text": "The battery lasts two days."},
    {"id": "lamp", "text": "It broke after a week."},
    {"id": "desk", "text": "Fast delivery, friendly people."},
]

results = penstock.run(
    reviews,
    prompt="Is this review positive or negative? Answer in one word: {{ text }}",
    model="gpt-4o-mini",
    param={"temperature": 0, "max_tokens": 5},
)
for result in results:
    if result.failure is None:
        print(result.key, result.text)
    else:
        print(result.key, "failed:", result.failure.message)
