// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommu;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;
import org.ioasis.iommu.mapping.Translation;
import org.ioasis.iommu.mapping.Translation.Kind;
import org.jspecify.annotations.Nullable;

/**
 * What endpoints are attached to: a kind of {@link Translation}, and who goes through it. Made by
 * an {@link Iommu} for an object model, which gives it its number and says when it ends. Loop
 * thread; translating threads read the final fields only.
 */
public sealed class Domain permits PagingDomain, TableDomain {
    final Iommu iommu;
    private final int id;
    private final String name;
    private final Translation translation;
    private final List<Attachment> attachments = new ArrayList<>();
    private final List<Attachment> shown = Collections.unmodifiableList(attachments);
    private @Nullable Consumer<Domain> whenUnused;

    // A listener still owes an answer: requests to this domain wait.
    private boolean isBusy;

    Domain(Iommu iommu, int id, Translation translation) {
        this.iommu = iommu;
        this.id = id;
        this.translation = translation;
        name = "domain 0x%x".formatted(id);
    }

    /** What its object model calls it, 32-bit unsigned. */
    public final int id() {
        return id;
    }

    /** The same for people. */
    final String name() {
        return name;
    }

    public final Translation translation() {
        return translation;
    }

    public final Kind kind() {
        return translation.kind();
    }

    /**
     * True if it has something to say of each PASID: then all that an endpoint does goes through
     * it, once the endpoint is attached. Any thread.
     */
    public boolean hasContexts() {
        return false;
    }

    /** What goes through it, in the order of attaching. A view. */
    public final List<Attachment> attachments() {
        return shown;
    }

    /** True while a request to it must wait for a listener's answer. */
    public final boolean isBusy() {
        return isBusy;
    }

    final void busy(boolean value) {
        isBusy = value;
    }

    final void requireIdle() {
        if (isBusy) {
            throw new IllegalStateException(name + " waits for a listener's answer");
        }
    }

    /** {@code told} hears each time that nothing is attached any more, and may close it. */
    public final void onUnused(Consumer<Domain> told) {
        whenUnused = told;
    }

    final void endIfUnused() {
        Consumer<Domain> told = whenUnused;
        if (attachments.isEmpty() && told != null) {
            told.accept(this);
        }
    }

    /** Why {@code attachment} cannot join; null if it can. */
    public @Nullable Refusal check(Attachment attachment) {
        return null;
    }

    final void add(Attachment attachment) {
        attachments.add(attachment);
        renew();
    }

    final void remove(Attachment attachment) {
        attachments.remove(attachment);
        renew();
    }

    /** Those that are attached have changed. */
    void renew() {
        // Memory as it is, or none, asks nothing of them.
    }

    /** Tells a listener of everything that its endpoint reaches here. */
    void replay(DomainListener listener) {
        listener.translation(kind());
    }

    /** Ends it, and gives back what it holds. IllegalStateException while something is attached. */
    public final void close() {
        requireIdle();
        if (!attachments.isEmpty()) {
            throw new IllegalStateException(name + " is in use");
        }
        if (iommu.forget(this)) {
            release();
        }
    }

    /** Everything has ended at once: nobody finds it any more. */
    final void endNow() {
        attachments.clear();
        release();
    }

    /** Gives back what it holds. */
    void release() {}
}
