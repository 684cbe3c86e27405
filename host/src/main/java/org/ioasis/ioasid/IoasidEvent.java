// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

/** What becomes of an id of a set that somebody hears of; each once per transition. */
public enum IoasidEvent {
    ALLOC,
    /** Freed: who holds a reference lets go. */
    FREE,
    BIND,
    UNBIND
}
