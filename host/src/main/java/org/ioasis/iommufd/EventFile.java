// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * The file of a queue of events: it keeps its object, and with it the context, in place. Any
 * thread; made under its context's lock.
 */
abstract class EventFile implements OpenFile {
    private final IommufdObject object;
    private boolean isReleased;

    EventFile(IommufdObject object) {
        this.object = object;
        object.addUser();
        object.context().addReference();
    }

    @Override
    public final Form form() {
        return Form.EVENTS;
    }

    @Override
    public final void release() {
        IommufdContext context = object.context();
        synchronized (context) {
            if (!isReleased) {
                isReleased = true;
                object.removeUser();
                context.removeReference();
            }
        }
    }
}
