/*
 * Intrusive doubly linked lists with a sentinel. A node is zero or linked;
 * removing an unlinked node does nothing.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

struct list {
        struct list *prev, *next;
};

static inline void list_init(struct list *head) { head->prev = head->next = head; }
static inline bool list_empty(const struct list *head) { return head->next == head || !head->next; }
static inline bool list_linked(const struct list *node) { return node->next != NULL; }

static inline void list_insert_after(struct list *at, struct list *node)
{
        node->prev = at;
        node->next = at->next;
        at->next->prev = node;
        at->next = node;
}

static inline void list_push_front(struct list *head, struct list *node) { list_insert_after(head, node); }
static inline void list_push_back(struct list *head, struct list *node) { list_insert_after(head->prev, node); }

static inline void list_remove(struct list *node)
{
        if (!node->next)
                return;
        node->prev->next = node->next;
        node->next->prev = node->prev;
        node->prev = node->next = NULL;
}

static inline struct list *list_pop_front(struct list *head)
{
        struct list *node = list_empty(head) ? NULL : head->next;
        if (node)
                list_remove(node);
        return node;
}

#define list_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The loop body may remove `it`. */
#define list_each_safe(it, head)                                                       \
        for (struct list *it = (head)->next, *it##_next = it->next; it != (head);      \
             it = it##_next, it##_next = it->next)

#endif
