package org.ioasis.loop;

/**
 * Work that can be found without being told of it, such as an available ring that is read before
 * its kick arrives. Asked on the loop thread, while the loop spins and once more before it blocks.
 */
@FunctionalInterface
public interface Pollable {
    /** Does what there is to do and returns how much it was; 0 if nothing. */
    int poll();
}
