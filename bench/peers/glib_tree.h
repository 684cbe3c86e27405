// SPDX-License-Identifier: Apache-2.0
/* The part of GLib's GTree that two peers use, declared here so that the library is enough and its headers are not
 * needed. Names and types are GLib 2's ABI. */
#ifndef GLIB_TREE_H
#define GLIB_TREE_H
#include <stddef.h>
#include <stdint.h>
typedef int gint, gboolean;
typedef unsigned guint;
typedef void *gpointer;
typedef const void *gconstpointer;
typedef size_t gsize;
typedef struct _GTree GTree;
typedef gint (*GCompareDataFunc)(gconstpointer a, gconstpointer b, gpointer user);
typedef void (*GDestroyNotify)(gpointer data);
GTree *g_tree_new_full(GCompareDataFunc compare, gpointer user, GDestroyNotify key, GDestroyNotify value);
void g_tree_insert(GTree *tree, gpointer key, gpointer value);
gboolean g_tree_remove(GTree *tree, gconstpointer key);
gpointer g_tree_lookup(GTree *tree, gconstpointer key);
gboolean g_tree_lookup_extended(GTree *tree, gconstpointer key, gpointer *original, gpointer *value);
void g_tree_destroy(GTree *tree);
gpointer g_malloc(gsize bytes);
gpointer g_malloc0(gsize bytes);
void g_free(gpointer memory);
#define GUINT_TO_POINTER(u) ((gpointer)(uintptr_t)(u))
#define GPOINTER_TO_UINT(p) ((guint)(uintptr_t)(p))
#define g_new(type, n) ((type *)g_malloc(sizeof(type) * (n)))
#define g_new0(type, n) ((type *)g_malloc0(sizeof(type) * (n)))
#endif
