// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Objects by id, the lowest free one from 1 on. A look-up takes no lock and allocates nothing: one
 * acquiring load of the table, one of the slot; any thread. All else under the context's lock.
 */
final class ObjectTable {
    /** Most ids of a context: a program must not fill our memory with them. */
    static final int LIMIT = 1 << 20;

    private static final VarHandle SLOTS;
    private static final VarHandle SLOT =
            MethodHandles.arrayElementVarHandle(IommufdObject[].class);

    static {
        try {
            SLOTS =
                    MethodHandles.lookup()
                            .findVarHandle(ObjectTable.class, "slots", IommufdObject[].class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private @Nullable IommufdObject[] slots = new @Nullable IommufdObject[16];

    // The ids that no object gets any more, although none has them.
    private boolean[] isTombstone = new boolean[16];
    private int size;

    /** No lower id is free. */
    private int lowest = 1;

    /** Objects, reserved ones too. */
    int size() {
        return size;
    }

    /** Gives an object an id. */
    void reserve(IommufdObject object) throws IommufdException {
        @Nullable IommufdObject[] now = slots;
        int id = lowest;
        while (id < now.length && (now[id] != null || isTombstone[id])) {
            id++;
        }
        if (id >= LIMIT) {
            throw new IommufdException(Errno.ENOMEM, "the context has as many objects as it may");
        }
        if (id == now.length) {
            now = Arrays.copyOf(now, now.length * 2);
            isTombstone = Arrays.copyOf(isTombstone, now.length);
            SLOTS.setRelease(this, now);
        }
        lowest = id + 1;
        object.id(id);
        SLOT.setRelease(now, id, object);
        size++;
    }

    /** Its id is free again, or nobody's until the context ends. */
    void remove(IommufdObject object, boolean leavesTombstone) {
        object.state(IommufdObject.State.DEAD);
        SLOT.setRelease(slots, object.id(), null);
        size--;
        if (leavesTombstone) {
            isTombstone[object.id()] = true;
        } else {
            lowest = Math.min(lowest, object.id());
        }
    }

    /** The object that can be found under an id, or null. */
    @Nullable IommufdObject find(int id) {
        @Nullable IommufdObject[] now = (IommufdObject[]) SLOTS.getAcquire(this);
        if (id <= 0 || id >= now.length) {
            return null;
        }
        IommufdObject found = (IommufdObject) SLOT.getAcquire(now, id);
        return found != null && found.state() == IommufdObject.State.LIVE ? found : null;
    }

    /** Visits each object, reserved ones too. */
    void forEach(Consumer<IommufdObject> visitor) {
        for (IommufdObject object : slots) {
            if (object != null) {
                visitor.accept(object);
            }
        }
    }

    /** The same from the highest id down; the visitor may remove any of them. */
    void forEachDown(Consumer<IommufdObject> visitor) {
        @Nullable IommufdObject[] now = slots;
        for (int id = now.length - 1; id > 0; id--) {
            IommufdObject object = now[id];
            if (object != null) {
                visitor.accept(object);
            }
        }
    }
}
