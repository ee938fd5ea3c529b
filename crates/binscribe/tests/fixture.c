/* A small program with functions of different kinds, compiled by the tests. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP __attribute__((noinline, noclone))

struct node {
    struct node *next;
    int value;
};

KEEP uint32_t checksum(const unsigned char *data, size_t length)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

KEEP struct node *push(struct node *list, int value)
{
    struct node *node = malloc(sizeof *node);
    if (node == NULL) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    node->next = list;
    node->value = value;
    return node;
}

KEEP void free_list(struct node *list)
{
    while (list != NULL) {
        struct node *next = list->next;
        free(list);
        list = next;
    }
}

KEEP void sort(int *values, int count)
{
    for (int i = 0; i < count; i++)
        for (int j = 0; j + 1 < count - i; j++)
            if (values[j] > values[j + 1]) {
                int swapped = values[j];
                values[j] = values[j + 1];
                values[j + 1] = swapped;
            }
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s NUMBER...\n", argv[0]);
        return 1;
    }
    int *values = calloc((size_t)argc, sizeof *values);
    struct node *list = NULL;
    if (values == NULL)
        return 2;
    for (int i = 1; i < argc; i++) {
        values[i - 1] = (int)strtol(argv[i], NULL, 10);
        list = push(list, values[i - 1]);
    }
    sort(values, argc - 1);
    for (int i = 0; i + 1 < argc; i++)
        printf("%d\n", values[i]);
    printf("%08x\n", checksum((unsigned char *)values, (size_t)(argc - 1) * sizeof *values));
    free_list(list);
    free(values);
    return 0;
}
