// SPDX-License-Identifier: Apache-2.0
package org.ioasis.ioasid;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.ioasis.iommufd.Errno;
import org.ioasis.iommufd.IommufdException;

/** A custom allocator that hands out its lowest free id, or what it is told to. One thread. */
final class ScriptedBackend implements IoasidBackend<String> {
    /** Ids that it believes are out. */
    final TreeSet<Integer> out = new TreeSet<>();

    /** Ids that came back, in order. */
    final List<Integer> freed = new ArrayList<>();

    /** What it was called with, in order. */
    final List<String> calledWith = new ArrayList<>();

    private int lowest = 1;
    private int next = IoasidAllocator.INVALID;
    private boolean isEmpty;
    private boolean refusesFree;
    private Runnable onFree = () -> {};

    ScriptedBackend() {}

    /** Its ids begin here. */
    ScriptedBackend lowest(int id) {
        lowest = id;
        return this;
    }

    /** Hands out this id next, whatever it knows. */
    void next(int id) {
        next = id;
    }

    void isEmpty(boolean value) {
        isEmpty = value;
    }

    void refusesFree() {
        refusesFree = true;
    }

    /** Runs when an id comes back. */
    void onFree(Runnable action) {
        onFree = action;
    }

    IoasidOps<String> ops(String data) {
        return new IoasidOps<>(this, data);
    }

    @Override
    public int allocate(int first, int last, String data) {
        calledWith.add(data);
        if (isEmpty) {
            return IoasidAllocator.INVALID;
        }
        int id = next;
        next = IoasidAllocator.INVALID;
        if (id == IoasidAllocator.INVALID) {
            id = Math.max(lowest, first);
            while (out.contains(id)) {
                id++;
            }
        }
        out.add(id);
        return id;
    }

    @Override
    public void free(int id, String data) throws IommufdException {
        calledWith.add(data);
        onFree.run();
        if (refusesFree) {
            throw new IommufdException(Errno.ENODEV, "does not take it");
        }
        out.remove(id);
        freed.add(id);
    }
}
